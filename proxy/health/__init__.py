"""What is known of targets across requests: who rests, how fast they are, whose state is where."""
