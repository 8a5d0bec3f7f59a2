// SPDX-License-Identifier: Apache-2.0
// Read-mostly shared state: readers look at what an atomic pointer shows them and take no lock; a writer publishes a new
// object with one store (release), waits until every reader has let go, and frees the old one. liburcu's QSBR does the
// waiting; this is the only file that knows it.
#pragma once

// A reader thread: register first, unregister last. Between two quiescent points it may use what it loaded (acquire).
void rcu_reader_register(void);
void rcu_reader_unregister(void);
// The thread holds no reference at this point.
void rcu_reader_quiescent(void);
// Around anything that may block: nobody waits for a reader that is offline.
void rcu_reader_offline(void);
void rcu_reader_online(void);

// Returns when every reader has passed a quiescent point since the call. Not for reader threads.
void rcu_wait(void);
