"""The names of queues and tasks; those of tag_product and tag_chunk are a public contract.

Apart from the payloads, whose checks want pydantic: whoever only looks pays nothing for that.
"""

TAG_PRODUCT = "worker.tag_product"
TAG_CHUNK = "worker.tag_chunk"
INGEST_QUEUE = "ingest"
BULK_QUEUE = "bulk"
# The tagger's own housekeeping; nobody else sends it.
RECONCILE = "worker.reconcile"
PUBLISH_DUE = "worker.publish_due"
START_RETAG = "worker.start_retag"
PUBLISH_RETAG = "worker.publish_retag"
WATCH_DRIFT = "worker.watch_drift"
TEND_EVENTS = "worker.tend_events"
UPKEEP_QUEUE = "upkeep"
CHUNK_SIZE_MAX = 256
