"""The paper's problems, whose best responses are known exactly, and where each method comes to rest on ridge."""
