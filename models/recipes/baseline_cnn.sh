#!/usr/bin/env bash
# Train baseline_cnn from random weights: bash models/recipes/baseline_cnn.sh [OUT]
source "$(dirname "$0")/common.sh"

train "$run/first" --model baseline --epochs "$(epochs 16)" --batch-size 64 --lr 2e-3 --augment light --crop-margins 0.1 \
    --seed "$seed"
finish "$run/first"
