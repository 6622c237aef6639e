"""Commands of analysts and releasing officers: send, read, follow, take back, ask."""
