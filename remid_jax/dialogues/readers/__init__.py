"""Reading what people have: each format's rows become conversations, which `reading` makes into records."""
