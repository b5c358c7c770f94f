"""Classification of providers' answers: commit, hold or fault, and the policy for each fault. No I/O."""
