# Sourced by the recipes: where they work, and steps that can be stopped anywhere and repeated.
#
#     DATA=dataset/ferplus   where FER+ is, a folder or the zip (dataset/README.md says how to get it)
#     SEED=0                 of all runs
#     SHORTER=1              divide the epochs by this number
#
# The same command goes on where it was stopped or killed; finished runs are not repeated.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=${DATA:-dataset/ferplus} seed=${SEED:-0} shorter=${SHORTER:-1}

epochs() { echo $(($1 > shorter ? $1 / shorter : 1)); }

# train OUT OPTIONS...: run fer.train, go on with it, or leave it as it is when it has ended
train() {
    local out=$1 how=--overwrite
    shift
    if [ -f "$out/state.pt" ]; then
        how=--resume
    elif [ -f "$out/metrics.json" ]; then
        return
    fi
    python -m fer.train --data ferplus --root "$data" --out "$out" --precision bf16 --labels soft --save-steps 50 "$how" "$@"
}

# finish MODEL OUT: calibrate on Valid, score Test, and move the model to where it belongs
finish() {
    python -m fer.evaluate --model "$1" --data ferplus --root "$data" --split valid --calibrate --record
    python -m fer.evaluate --model "$1" --data ferplus --root "$data" --split test --record
    python -m fer.evaluate --model "$1" --data ferplus --root "$data" --split test --labels argmax --record
    rm -rf "$2"
    cp -r "$1" "$2"
}
