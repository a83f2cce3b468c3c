"""Tasks that read a stream: `sequences` says what is read, `runner` reads it, `chat` lets the Overlord steer it."""
