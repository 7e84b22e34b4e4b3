#!/usr/bin/env bash
# Train baseline_cnn from random weights: bash models/recipes/baseline_cnn.sh [OUT]
source "$(dirname "$0")/common.sh"
work=outputs/recipes/baseline_cnn-$seed

train "$work" --model baseline --epochs "$(epochs 16)" --batch-size 64 --lr 2e-3 --augment light --crop-margins 0.1 \
    --seed "$seed"
finish "$work" "${1:-models/baseline_cnn}"
