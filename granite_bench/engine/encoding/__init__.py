"""
Texts to vectors, each text once, in shards that survive a crash.

    encoder                    texts -> vectors, of the store or of the backend
    batching, batch_encoder    sorted by length, batched by tokens
    text_shards, share, asked  which texts make a shard, and whose shard it is
    model_stores               the stores of a model's vectors
    encoding_cost              what it took
"""
