"""
Texts to vectors to a ranked run, under mteb's protocols.

What mteb evaluates, and what of a loaded model it is:
    forms, dense_retriever, sparse_retriever, reranker, observed_search, observation

Models, and what they are given:
    backend, dense_backend, sparse_backend, cross_encoder, endpoint/
    texts, tokens, pairs, pair_tokens, model_inputs
    unpadded, unpadded_transformer, unpadded_attention

Texts to vectors, each once, in shards that survive a crash:
    encoder, batch_encoder, batching, text_shards, share, asked, encoding_cost

Vectors, in memory and in the store:
    rows, sparse_rows, places, model_stores, vector_store, vector_index, shard
    vectors, sparse_vectors, variants, sparsity
    vector_cache, vector_prune: what the command `cache` shows and removes

Vectors to a ranked run, and its scores:
    search, host_search, device_search, sparse_search, top_k, run
    scoring, measures: mteb's scores, from arrays
"""
