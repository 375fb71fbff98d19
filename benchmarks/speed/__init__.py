"""Full training steps: chainrule beside other people's loops, each in its own process."""
