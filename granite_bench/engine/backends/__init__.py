"""
Models, and what they are given: texts to token ids to vectors, pairs to scores.

    backend, dense_backend, sparse_backend   an Instruction and texts -> a batch of vectors
    cross_encoder                            pairs -> scores
    texts, tokens, pairs, pair_tokens        what a model reads, and how many tokens that is
    model_inputs                             token ids -> padded arrays
    unpadded, unpadded_transformer, unpadded_attention   batches without padding
"""
