// A service in Go that uses Perdure over both of its doors: it writes a key so that it is on the
// disk, reads it back, takes a snapshot, waits until that is verified and stored, and lists what
// could be restored. Deadlines stand on every call; a refusal is told with its reason and hint.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	longrunning "example.com/perdure-client/google/longrunning"
	control "example.com/perdure-client/perdure/control/v1"
	data "example.com/perdure-client/perdure/data/v1"
)

const callTimeout = 5 * time.Second

func main() {
	dataTarget := flag.String("data", "127.0.0.1:6380", "the data door")
	controlTarget := flag.String("control", "127.0.0.1:6381", "the control door")
	flag.Parse()
	if err := run(*dataTarget, *controlTarget); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", describe(err))
		os.Exit(1)
	}
}

func run(dataTarget, controlTarget string) error {
	dataConn, err := dial(dataTarget)
	if err != nil {
		return err
	}
	defer dataConn.Close()
	controlConn, err := dial(controlTarget)
	if err != nil {
		return err
	}
	defer controlConn.Close()
	if err := writeAndRead(data.NewDataServiceClient(dataConn)); err != nil {
		return err
	}
	operations := longrunning.NewOperationsClient(controlConn)
	return takeSnapshot(control.NewSnapshotServiceClient(controlConn), operations)
}

// dial opens one connection; keep it for the life of the process, it serves all calls.
func dial(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func writeAndRead(client data.DataServiceClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	written, err := client.Set(ctx, &data.SetRequest{
		Key:        []byte("greeting"),
		Value:      []byte("hello from Go"),
		Expiry:     &data.SetRequest_Ttl{Ttl: durationpb.New(time.Hour)},
		Durability: data.Durability_DURABILITY_FSYNCED,
	})
	if err != nil {
		return err
	}
	receipt := written.GetReceipt()
	fmt.Println("set:", receipt.GetDurability(), "at offset", receipt.GetPosition().GetOffset())
	read, err := client.Get(ctx, &data.GetRequest{Key: []byte("greeting")})
	if err != nil {
		return err
	}
	fmt.Printf("get: %s\n", read.GetValue())
	return nil
}

func takeSnapshot(client control.SnapshotServiceClient, operations longrunning.OperationsClient) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	operation, err := client.CreateSnapshot(ctx, &control.CreateSnapshotRequest{})
	if err != nil {
		return err
	}
	for !operation.GetDone() {
		operation, err = operations.WaitOperation(ctx, &longrunning.WaitOperationRequest{
			Name:    operation.GetName(),
			Timeout: durationpb.New(time.Second),
		})
		if err != nil {
			return err
		}
	}
	if failure := operation.GetError(); failure != nil {
		return status.ErrorProto(failure)
	}
	var snapshot control.Snapshot
	if err := operation.GetResponse().UnmarshalTo(&snapshot); err != nil {
		return err
	}
	fmt.Println("snapshot:", snapshot.GetName(), "keys:", snapshot.GetKeyCount())
	listed, err := client.ListSnapshots(ctx, &control.ListSnapshotsRequest{})
	if err != nil {
		return err
	}
	for _, each := range listed.GetSnapshots() {
		fmt.Println("listed:", each.GetName(), each.GetState(), each.GetPayload().GetRawSha256())
	}
	return nil
}

// describe reads what every refusal of Perdure carries: a stable reason, and what to do next.
func describe(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "perdure" {
			return fmt.Sprintf("%s: %s (%s)", info.GetReason(), status.Convert(err).Message(), info.GetMetadata()["hint"])
		}
	}
	return err.Error()
}
