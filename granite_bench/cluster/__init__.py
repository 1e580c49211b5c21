"""
Beyond one device: workers of a Ray cluster, or of this machine's GPUs, encode and search.

    options   what the command line asks for
    session   Ray: started or joined, its nodes as places for workers
    worker    one process with a model: shards to vectors, and work where the vectors are
    member    one worker as the driver knows it
    pool      calls to workers: each to one with room, again when a worker dies
    shards    the Encoder's shards through the pool
    parts     the vectors of a corpus where the workers have them
    forms     the form of a model whose weights are on the workers
    run       all of it for a run: open, load, encode ahead, close

The process that starts it, the driver, reads the data, hands out shards of texts and merges
rankings; it holds neither weights nor the vectors of a corpus.
"""
