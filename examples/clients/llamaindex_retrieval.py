"""llama-index: searches a folder of texts. `python llamaindex_retrieval.py FOLDER QUESTION`"""

import os
import sys

from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding

MODEL = "text-embedding-3-small"  # an alias of the server's embedding model

embedding = OpenAIEmbedding(model_name=MODEL, api_base=os.environ["OPENAI_BASE_URL"])
documents = SimpleDirectoryReader(sys.argv[1], required_exts=[".txt"]).load_data()
index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
for found in index.as_retriever(similarity_top_k=2).retrieve(sys.argv[2]):
    print(f"{found.score:.2f} {found.node.metadata['file_name']}: {found.node.get_content().splitlines()[0]}")
