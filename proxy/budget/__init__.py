"""What a request may spend: accounts to measure it by, a hold before it is sent, a settlement after."""
