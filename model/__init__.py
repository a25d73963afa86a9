"""GPT-2 in PyTorch: the model, its data, its training. Imports schemas only, never Beam."""
