"""Commands of analysts and releasing officers: send, read, follow, recall, ask."""
