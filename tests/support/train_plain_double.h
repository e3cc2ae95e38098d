// train_plain_double.h: gives train_plain's sources double for plain_value, and other names.
// tests/CMakeLists.txt compiles them once more with it, for a test that compares gradients with finite
// differences and to the last digits with PyTorch.
#ifndef SKINSIGHT_TESTS_SUPPORT_TRAIN_PLAIN_DOUBLE_H
#define SKINSIGHT_TESTS_SUPPORT_TRAIN_PLAIN_DOUBLE_H

#define plain_value            double
#define plain_operation        double_operation
#define plain_class_activation double_class_activation
#define plain_rollout          double_rollout
#define train_plain            double_train
#define train_plain_init       double_train_init
#define train_plain_release    double_train_release
#define train_plain_gradients  double_train_gradients
#define train_plain_backward   double_train_backward
#define train_plain_image      double_train_image

#endif
