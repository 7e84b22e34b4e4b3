#!/usr/bin/env bash
# Train emotion_net from random weights: bash models/recipes/emotion_net.sh [OUT], or make model.
#
# First long steps under strong changes of the faces, then short ones under light ones, learning also from what the
# first network predicts; last, four short runs that differ in labels and sampling, whose weights are averaged
# (Wortsman et al. 2022, arXiv:2203.05482). Rare emotions are sampled by the square root of their frequency, a quarter
# to a third of the faces are degraded as webcams do it, and 320 synthetic faces are among them, for the demos' sample.
source "$(dirname "$0")/common.sh"

common=(--model emotion_net --synthetic 40 --batch-size 128 --optimizer sgd --weight-decay 5e-4 --metric accuracy)

train "$run/first" "${common[@]}" --epochs "$(epochs 70)" --lr 0.1 --schedule one_cycle --warmup 0.1 --start-size 32 \
    --augment strong --degrade 0.25 --imbalance square_root_sampling --seed "$seed"

train "$run/second" "${common[@]}" --init "$run/first" --teachers "$run/first" --epochs "$(epochs 12)" --lr 0.04 \
    --augment light --degrade 0.35 --imbalance square_root_sampling --seed "$seed"

for k in 1 2 3 4; do
    case $k in 1 | 2) imbalance=square_root_sampling ;; *) imbalance=none ;; esac
    case $k in 1 | 3) labels=soft ;; *) labels=majority ;; esac
    train "$run/third-$k" "${common[@]}" --init "$run/second" --teachers "$run/second" --epochs "$(epochs 2)" --lr 0.03 \
        --augment light --degrade 0.35 --imbalance $imbalance --labels $labels --seed $((4 * seed + k))
done

python -m fer.training.averaging soup "$run"/third-* --out "$run/mean" --overwrite
cp "$run/first/history.csv" "$run/mean/history-1.csv"
cp "$run/second/history.csv" "$run/mean/history.csv"
finish "$run/mean"
