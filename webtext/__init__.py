"""Build WebText-style corpora with Apache Beam, and train GPT-2 on them with PyTorch."""
