"""What each job can be told: one frozen dataclass a job, whose fields say everything about an option."""
