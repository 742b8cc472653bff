"""What a fine-tuned ALBERT is for: kinds of head, as data."""
