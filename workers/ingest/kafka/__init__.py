"""Reading Kafka: `consumer` gives messages, `records` makes raw batches of them."""
