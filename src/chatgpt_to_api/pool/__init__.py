"""Who may call an upstream now: credentials, leases, cool-downs, rate windows, outbound proxies."""
