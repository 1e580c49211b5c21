"""Models behind an endpoint: servers that speak OpenAI's /embeddings, or /rerank."""
