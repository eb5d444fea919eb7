"""Fine-tuning of BatchNorm models, plain or with APART."""
