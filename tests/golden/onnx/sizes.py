"""Config of the exported models, unless a case changes it."""

SIZES = {
    "vocab_size": 30,
    "embedding_size": 4,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 16,
    "max_position_embeddings": 20,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-12,
}
