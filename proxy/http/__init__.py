"""What may enter, the body that can be rewound, and how the gateway answers by itself."""
