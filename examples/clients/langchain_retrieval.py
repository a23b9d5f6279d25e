"""langchain-openai: searches a folder of texts. `python langchain_retrieval.py FOLDER QUESTION`"""

import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings

MODEL = "text-embedding-3-small"  # an alias of the server's embedding model


def passages(folder: Path) -> list[Document]:
    """The paragraphs of the texts: a passage should be about one thing, and short enough for the model."""
    return [
        Document(paragraph.strip(), metadata={"file": path.name})
        for path in sorted(folder.rglob("*.txt"))
        for paragraph in path.read_text(encoding="utf-8").split("\n\n")
        if paragraph.strip()
    ]


# By default this class sends token ids of OpenAI's vocabulary, which mean other texts to other models.
embeddings = OpenAIEmbeddings(model=MODEL, check_embedding_ctx_length=False)
store = InMemoryVectorStore(embeddings)
store.add_documents(passages(Path(sys.argv[1])))
for passage, score in store.similarity_search_with_score(sys.argv[2], k=2):
    print(f"{score:.2f} {passage.metadata['file']}: {passage.page_content.splitlines()[0]}")
