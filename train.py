"""The published command line: see ``python train.py --help`` and `raw2logit.cli.published`."""

from raw2logit.cli.published import main

if __name__ == "__main__":
    raise SystemExit(main())
