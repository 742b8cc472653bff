"""Ask a trained model: fill masks, judge order, embed. torch."""
