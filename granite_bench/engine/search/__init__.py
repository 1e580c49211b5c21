"""
Vectors to a ranked run: exact search.

    similarity                   how a query and a document are scored
    search                       the way that suits vectors, device and size
    host_search, device_search   dense vectors, on the processor and on a GPU
    sparse_search                sparse vectors
    lanes                        shares of a search, a thread for each
    top_k                        the best of a block of scores
    run                          the ranked documents of each query, as arrays
"""
