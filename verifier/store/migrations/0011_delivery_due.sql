-- Which delivery of a webhook is due next, however many wait.
CREATE INDEX delivery_due ON delivery (webhook, next_at) WHERE dead_at IS NULL;
