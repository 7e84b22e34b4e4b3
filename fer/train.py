"""Train a network, choose its best epoch on validation data, and save it with its card and as ONNX.

    python -m fer.train --data ferplus --root dataset/ferplus --model baseline --out outputs/mine
    torchrun --nproc_per_node 2 -m fer.train …        the same on several processes, with GPUs or without
    accelerate launch --num_processes 2 -m fer.train …               the same on several GPUs or machines

Stopped anywhere, the same command with ``--resume`` does what is left, to the same
weights as an unbroken run.
"""

from pathlib import Path

from fer import cli
from fer.training import TrainConfig


def main(config: TrainConfig) -> None:
    """Train, fit the temperature on validation data, record the validation scores, and export."""
    config.out = out = config.out or Path("models") / f"{config.model}-{config.data}"
    config.check()

    from fer.card import read_card, write_card
    from fer.evaluation.calibration import calibrate
    from fer.evaluation.predictions import predict
    from fer.evaluation.recorded import record
    from fer.training import History, fit, new_model, training_splits
    from fer.training.degrade import predict_degraded
    from fer.training.distributed import leaving, processes
    from fer.training.export import complete
    from fer.training.start import keep_freed_memory

    def calibrate_and_record(history: History) -> None:
        predictions = predict(model, valid, config.batch_size, config.flip)
        degraded = predict_degraded(model, valid, config.flip)
        card = calibrate(read_card(out), predictions, degraded)
        card["seconds"] = round(history.column("seconds").sum())
        write_card(out, card)
        notes = {"flip": config.flip} | ({"labels": "majority"} if config.data == "ferplus" else {})
        epochs = f"epoch {history.best_epoch} of {len(history.rows)}"
        mirrored = ", each face averaged with its mirror image" if config.flip else ""
        print(f"\nvalidation, {epochs}{mirrored}, temperature {card['temperature']}")
        print(record(out, f"{valid.name}-{valid.split}", predictions, card, notes))
        if (scores := predictions.score_valence_arousal()) is not None:
            print(f"\n{scores}")
        complete(out)  # after the calibration, which the exported network's metadata repeat
        print(f"\nsaved in {out}")

    keep_freed_memory()
    with leaving():
        with processes().main_process_first():  # it may have an index to build, or the sample to render
            train, valid = training_splits(config)
        model = new_model(config)
        fit(model, train, valid, config, on_end=calibrate_and_record)


if __name__ == "__main__":
    cli.run(main, TrainConfig)
