"""What is sent: payments, and the HTTP load and the traffic on Kafka that they make."""
