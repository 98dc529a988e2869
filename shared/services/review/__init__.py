"""What reviewers see and decide: documents, lists, decisions, bulk decisions."""
