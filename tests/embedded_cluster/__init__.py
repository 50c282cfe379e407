"""The embedded cluster by itself: it starts and ends within its bars, leaves nothing, and does what the other tests need."""
