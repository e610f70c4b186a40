"""Studies, one question a file; run one by ``python -m reliability.study NAME``."""
