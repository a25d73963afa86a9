"""What the stages and the two halves of webtext agree on. Imports the standard library, pyarrow and tiktoken only."""
