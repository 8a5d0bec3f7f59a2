// SPDX-License-Identifier: Apache-2.0
// Before the credential of this node is read at start: what can be done so that there is one.
#pragma once

struct config;

// A change that was interrupted is undone. A certificate that expired while the node was off, on the machine of the CA itself
// (gateway.ca), is renewed. What is done is logged; what helps nothing is not, for reading the files will say it.
void rescue(const struct config *config);
