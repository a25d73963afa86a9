"""What a person runs: one module is one sub-command, one configuration dataclass and one run(config)."""
