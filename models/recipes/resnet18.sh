#!/usr/bin/env bash
# Train resnet18 from random weights, in two runs: bash models/recipes/resnet18.sh [OUT]
#
# The weights are stored in half precision, those that the second run begins at, too.
source "$(dirname "$0")/common.sh"

# halve FROM TO: a copy in half precision
halve() {
    rm -rf "$2"
    cp -r "$1" "$2"
    python -m fer.training.averaging halve "$2"
}

common=(--model resnet18 --batch-size 128 --optimizer sgd --weight-decay 5e-4 --augment light --metric accuracy
    --crop-margins 0.1 --seed "$seed")

train "$run/first" "${common[@]}" --size 64 --start-size 32 --epochs "$(epochs 8)" --lr 0.1 --schedule one_cycle --warmup 0.2
halve "$run/first" "$run/start"
train "$run/second" "${common[@]}" --init "$run/start" --epochs "$(epochs 18)" --lr 0.06 --imbalance square_root_sampling
halve "$run/second" "$run/half"
cp "$run/first/history.csv" "$run/half/history-1.csv"
finish "$run/half"
