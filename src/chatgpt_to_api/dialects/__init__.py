"""One room per wire dialect: messages (typed JSON), door (client side), upstream (backend side)."""
