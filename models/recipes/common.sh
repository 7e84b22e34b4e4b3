# Sourced by the recipes: where they work, and steps that can be stopped anywhere and repeated.
#
#     DATA=dataset/ferplus   where FER+ is, a folder or the zip (dataset/README.md says how to get it)
#     SEED=0                 of all runs
#     SHORTER=1              divide the epochs by this number
#
# The same command goes on where it was stopped or killed; finished runs are not repeated. Sets $data, $run, which names
# the folder of the runs, and $out, where the model goes: an earlier model there is replaced when the new one is ready.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) name=$(basename "$0" .sh)
seed=${SEED:-0} shorter=${SHORTER:-1} data=${DATA:-$root/dataset/ferplus} out=${1:-$root/models/$name}
[[ $data = /* ]] || data=$PWD/$data
[[ $out = /* ]] || out=$PWD/$out
cd "$root"

fail() { echo "error: $1" >&2; exit 2; }
[[ $shorter =~ ^[1-9][0-9]*$ ]] || fail "SHORTER=$shorter; expected a whole number of 1 or more."
[[ ${1:-} != -* ]] || fail "$1; expected a folder: a recipe has no options, and goes on by itself where it was stopped."
if [ ! -f "$out/card.json" ] && [ -n "$(ls -A "$out" 2> /dev/null)" ]; then
    fail "$out holds other files than a model. Name another folder."
fi
run=outputs/recipes/$name-$seed
((shorter == 1)) || run+=-shorter-$shorter

epochs() { echo $(($1 > shorter ? $1 / shorter : 1)); }

# train FOLDER OPTIONS...: run fer.train, go on with it, or leave it as it is when it has ended
train() {
    local folder=$1 how=--overwrite code=0
    shift
    if [ -f "$folder/state.pt" ]; then
        how=--resume
    elif [ -f "$folder/metrics.json" ]; then
        return
    fi
    python -m fer.train --data ferplus --root "$data" --out "$folder" --precision bf16 --labels soft --save-steps 50 \
        "$how" "$@" || code=$?
    ((code != 130)) || echo "Or run the same recipe again: it goes on from there." >&2
    return $code
}

# finish FOLDER: calibrate a copy on Valid, score Test, and put it where the model belongs, instead of an earlier one
finish() {
    local result=$run/result
    rm -rf "$result"
    cp -r "$1" "$result"
    python -m fer.evaluate --model "$result" --data ferplus --root "$data" --split valid --calibrate --record
    python -m fer.evaluate --model "$result" --data ferplus --root "$data" --split test --record
    python -m fer.evaluate --model "$result" --data ferplus --root "$data" --split test --labels argmax --record
    mkdir -p "$out"
    rm -f "$out"/{card.json,metrics.json,model.*,history*.csv,predictions-*.npz}
    cp "$result"/* "$out"
}
