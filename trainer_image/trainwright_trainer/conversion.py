"""DeepSpeed's converter to its universal format, as a program of its own: see resharding.

`python -m trainwright_trainer.conversion` takes the arguments of `deepspeed.checkpoint.ds_to_universal`, and
starts in half its time.
"""

from trainwright_trainer.imports import hidden, uncollected


def main() -> None:
    """Convert as the command line says."""
    with uncollected(), hidden("mlflow"):
        from deepspeed.checkpoint import ds_to_universal

    ds_to_universal.main(ds_to_universal.parse_arguments())


if __name__ == "__main__":
    main()
