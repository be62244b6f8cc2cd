"""Many texts at once: requests come and go at any time, and what one gets does not depend on the others."""
