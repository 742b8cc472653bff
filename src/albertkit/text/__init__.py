"""Text to token ids and back: SentencePiece (English) and WordPiece (Chinese)."""
