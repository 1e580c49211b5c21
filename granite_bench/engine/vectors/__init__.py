"""
Vectors, in memory and in the store.

    rows, sparse_rows            a batch of them
    vectors, sparse_vectors      those of a corpus, shard by shard
    shard, vector_index          a file of vectors with its checksum; which file has which text
    places, vector_store         where the files lie
    vector_cache, vector_prune   what the command `cache` shows and removes
"""
