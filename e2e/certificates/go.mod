module portolan/e2e/certificates

go 1.24
