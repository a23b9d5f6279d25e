"""`myna doctor`, a file a subject: each looks at one part of the machine or the installation."""
