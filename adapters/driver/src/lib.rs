//! What every Postrider driver needs: clock, ids, look-ups, TLS, idle connections, waiting callers.
