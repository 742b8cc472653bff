"""Raw text to shards, and shards to masked sentence-order batches. numpy only."""
